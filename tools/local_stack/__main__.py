"""`python -m local_stack` is `mwaa-gateway local`, for the stack that starts itself in the background."""

from local_stack.command import local

local(prog_name="mwaa-gateway local")
