"""What the command line does: its commands, the engines they run, the doctor, and processes that torchrun started."""
