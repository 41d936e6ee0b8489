"""The bus: typed messages, a publisher and a subscriber. The forwarder is a worker."""
