"""The ML queue: pictures, the recogniser, and the programs that pass requests and results through Kafka."""
