"""The web process: page, websocket, REST. Keeps nothing; any number of them may run."""
