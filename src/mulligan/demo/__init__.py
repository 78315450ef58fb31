"""`mulligan demo`: a year of real flights computed through a store that fails, processes that are killed, and a bad release."""
