"""Child processes that hold the WhatsApp library, and the pipe by which the worker steers them."""
