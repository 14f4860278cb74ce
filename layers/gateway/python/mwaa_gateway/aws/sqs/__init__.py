"""The SQS adapters: trigger, watch and dead-letter queues, and the dispatcher's messages."""
