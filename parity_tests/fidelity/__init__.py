"""The reference against recordings of the C++ program."""
