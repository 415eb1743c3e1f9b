"""Mathematics that components of several kinds share, one file each:
import from `lvmbench.kernels.hmc` and so on.

`eager` has what torch does without its compiler, `flows` steps of flows by networks, `hmc` Hamiltonian
transitions, `kalman` linear-Gaussian sequences, `l2hmc` Hamiltonian transitions whose steps are learned,
`logistic` regressions of bits on bits, `mixing` what draws of Markov chains are worth, `mmd` the maximum mean
discrepancy, `planar` the planar map, `resampling` the choice of particles by their weights, `smc` particles
that walk along sequences, `sticks` the weights of a broken stick.
"""
