"""Mathematics that components of several kinds share, one file each:
import from `lvmbench.kernels.hmc` and so on.

`flows` has steps of flows by networks, `hmc` Hamiltonian transitions, `logistic` regressions of bits on bits,
`mixing` what draws of Markov chains are worth, `mmd` the maximum mean discrepancy, `planar` the planar map,
`sticks` the weights of a broken stick.
"""
