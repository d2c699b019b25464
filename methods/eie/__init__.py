"""The EIE machine, simulated: encoding, exact timing, datapath, energy (Han et al., ISCA 2016)."""
