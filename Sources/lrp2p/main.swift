print("lrp2p")
