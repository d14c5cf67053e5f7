"""One member of the cluster: consensus, journal, snapshots, peers, and the replica that the API talks to."""
