"""Mathematics that components of several kinds share, one file each:
import from `lvmbench.kernels.hmc` and so on.

`hmc` has Hamiltonian transitions, `mmd` the maximum mean discrepancy, `planar` the planar map, `quantiles`
those of gamma numbers. Nothing is imported here, since random numbers are themselves made with one of them.
"""
