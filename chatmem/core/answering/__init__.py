"""Running answers: written as they are generated, followed by any number of readers, stored once they end."""
