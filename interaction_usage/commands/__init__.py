"""The console command `usage`, one module per subcommand."""
