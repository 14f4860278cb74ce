"""The adapters: the only place where boto3 and requests are imported."""
