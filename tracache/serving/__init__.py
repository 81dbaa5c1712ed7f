"""Where the work of the page is done: here, in a process for each GPU, or on other machines."""
