"""The transports to an environment's Airflow: CLI tokens, InvokeRestApi and the web login; one port, one promise."""
