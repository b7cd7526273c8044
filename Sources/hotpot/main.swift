print("hotpot")
