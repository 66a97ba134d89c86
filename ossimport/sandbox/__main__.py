"""Lets `python -m ossimport.sandbox` run the sandbox alone."""

from ossimport.sandbox.command import sandbox_command

sandbox_command(prog_name="python -m ossimport.sandbox")
