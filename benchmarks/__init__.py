"""What Backsoon costs, side by side with what else one could do. One command: `make bench`."""
