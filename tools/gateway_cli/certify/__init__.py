"""`mwaa-gateway environments certify`: ask a real environment what no emulator can show, and report what it answered."""
