"""Many runs: settings times prompts, recorded line by line, resumable, on any number of workers."""
