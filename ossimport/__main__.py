"""`python -m ossimport VERB`."""

from ossimport.console.main import main

if __name__ == "__main__":
    main()
