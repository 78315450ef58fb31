"""What people set and write down in files: settings, and the rules that failures are told apart by."""
