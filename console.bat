@echo off
rem Runs one verb of ossimport: console.bat stat
rem UNTESTED: nobody has run ossimport on Windows yet. It needs Python 3.11 or newer (the py
rem launcher), and a Redis that redisUrl in conf\sys.properties names, as none is embedded there.
setlocal
set "HOME_DIR=%~dp0"
set "VENV=%HOME_DIR%.venv"
set "STAMP=%VENV%\installed"

if exist "%STAMP%" (
    fc /b "%HOME_DIR%constraints.txt" "%STAMP%" >nul 2>&1 && goto run
)

echo Installing ossimport into %VENV% (only this once) ... 1>&2
py -3 -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>nul
if errorlevel 1 (
    echo Error: ossimport needs Python 3.11 or newer. 1>&2
    echo     cure: install it from https://www.python.org/downloads/ with the py launcher 1>&2
    exit /b 3
)
py -3 -m venv --clear "%VENV%" || exit /b 3
"%VENV%\Scripts\python.exe" -m pip install --quiet --disable-pip-version-check ^
    --constraint "%HOME_DIR%constraints.txt" --editable "%HOME_DIR%." 1>&2 || exit /b 3
copy /y "%HOME_DIR%constraints.txt" "%STAMP%" >nul

:run
if not defined OSS_IMPORT_HOME set "OSS_IMPORT_HOME=%HOME_DIR%."
"%VENV%\Scripts\python.exe" -m ossimport %*
exit /b %errorlevel%
