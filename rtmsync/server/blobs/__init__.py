"""Files and images on a disk, which no thread but those here ever waits for."""
