"""The queues: trigger, watch and dead-letter queues, and the messages of the dispatcher."""
