"""Mathematics that components of several kinds share, one file each:
import from `lvmbench.kernels.hmc` and so on.

`hmc` has Hamiltonian transitions, `mmd` the maximum mean discrepancy, `planar` the planar map,
`sticks` the weights of a broken stick.
"""
