"""What people and programs meet on a node: HTTP calls, authentication and the web page."""
