import numpy as np
from scipy.special import stdtr
rng=np.random.default_rng(0)
def sim(S,N,va,vb,ve,R=4000,delta=0.):
    # va: variance of seed effect; vb: of datum; ve residual. Simulate via sums of squares directly
    # sufficient stats: mean, MSa, MSb, MSe independent chi2
    EMa, EMb, EMe = ve+N*va, ve+S*vb, ve
    MSa=EMa*rng.chisquare(S-1,R)/(S-1); MSb=EMb*rng.chisquare(N-1,R)/(N-1); MSe=EMe*rng.chisquare((S-1)*(N-1),R)/((S-1)*(N-1))
    Vt=(EMa+EMb-EMe)/(S*N)
    m=delta*np.sqrt(Vt)+rng.normal(size=R)*np.sqrt(Vt)
    out=[]
    for floor in (0,1):
        q=MSa+MSb-MSe
        if floor: q=np.maximum(q,np.maximum(MSa,MSb))
        V=q/(S*N)
        df=q**2/(MSa**2/(S-1)+MSb**2/(N-1)+MSe**2/((S-1)*(N-1)))
        if floor: df=np.maximum(df,S-1)
        p=2*stdtr(df,-abs(m)/np.sqrt(V)); out.append((p<.05).mean())
    # seeds only
    p=2*stdtr(S-1,-abs(m)/np.sqrt(MSa/(S*N)));out.append((p<.05).mean())
    return out
for S in (2,3,5,10,20):
    for N in (100,360,10000):
        for share in (0,.1,.3,.5,.7,.9,1):
            ve=1.; tot=4*ve  # N va + S vb
            r0=sim(S,N,share*tot*1/N,(1-share)*tot/S,ve); r3=sim(S,N,share*tot/N,(1-share)*tot/S,ve,delta=3)
            print(S,N,share,'null',r0,'3se',r3)
