"""What programs with a server key do over HTTP: the routes, and what each of them does."""
