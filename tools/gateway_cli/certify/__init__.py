"""`mwaa-gateway environments certify`: test on a real environment what no emulator can show, and report the answers."""
