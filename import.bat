@echo off
rem Migrates in one go: submit, start, watch, retry, report. UNTESTED, see console.bat.
call "%~dp0console.bat" import %*
exit /b %errorlevel%
