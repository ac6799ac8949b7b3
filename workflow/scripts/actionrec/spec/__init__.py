"""TAO's experiment spec: its schema, what differs between toolkits, reading and writing."""
