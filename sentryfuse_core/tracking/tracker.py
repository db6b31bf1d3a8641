"""Tracker: keeps the objects of past sets, and says after each set which are there, where and how fast.

Whether an object exists is a probability (Musicki and Evans, 'Joint Integrated Probabilistic Data Association',
2004, with one hypothesis): a detection raises it by the odds of its calibrated score, a miss lowers it as much as the
object ought to have been found. Where no live sensor looks a miss says nothing, so that a blackout keeps what was
there until its place is too uncertain to be of use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.evaluation.boxes import Floats
from sentryfuse_core.tracking import motion

__all__ = ["Tracker", "TrackerConfig"]
@dataclass(frozen=True, kw_only=True)
class TrackerConfig:
    vehicles: tuple[int,...]=(0,)
    acceleration: tuple[float,...]=(4.,2.,3.)
    turn_acceleration: tuple[float,...]=(1.,1.,1.)
    start_speed: tuple[float,...]=(10.,2.,5.)
    place_noise: tuple[float,...]=(.25,.15,.2)
    yaw_noise: tuple[float,...]=(.2,.5,.3)
    lifetime_s: float=5.
    evidence: float=3.
    birth: float=.5
    birth_score: float=.2
    confirmed: float=.8
    dropped: float=.1
    most_unsure_m: float=3.
    gate: float=16.


@dataclass(eq=False)
class Objects:
    ids: NDArray[np.int64]
    classes: NDArray[np.int64]
    states: Floats
    covariances: Floats
    shapes: Floats  # z, l, w, h
    exists: Floats
    hits: NDArray[np.int64]
    silent_s: Floats
    was: NDArray[np.bool_]
    logit: Floats
    def take(self, index): return Objects(*(getattr(self,k)[index] for k in self.__dataclass_fields__))
    def plus(self, other): return Objects(*(np.concatenate([getattr(self,k),getattr(other,k)]) for k in self.__dataclass_fields__))


class Tracker:
    def __init__(self, config: TrackerConfig):
        self.c=config; self.next=1
        self.o=self._born(np.zeros((0,7)),np.zeros(0,np.int64),np.zeros(0))
    def _per(self, name, classes): return np.asarray(getattr(self.c,name))[classes]
    def _born(self, boxes, classes, scores):
        n=len(boxes); c=self.c
        s=np.zeros((n,6)); s[:,:2]=boxes[:,:2]; s[:,4]=boxes[:,6]
        P=np.zeros((n,6,6)); i=range(n)
        pn,yn,v=self._per('place_noise',classes),self._per('yaw_noise',classes),self._per('start_speed',classes)
        P[:,0,0]=P[:,1,1]=pn**2; P[:,2,2]=P[:,3,3]=v**2; P[:,4,4]=yn**2
        P[:,5,5]=np.where(np.isin(classes,c.vehicles),.3**2,0.)
        ids=np.arange(self.next,self.next+n); self.next+=n
        return Objects(ids,classes,s,P,boxes[:,2:6].copy(),scores*c.birth/(scores*c.birth+1-scores) if n else np.zeros(0),np.ones(n,np.int64),np.zeros(n),np.zeros(n,bool),np.log((scores+1e-6)/(1-scores+1e-6)))
    def step(self, boxes, classes, scores, dt, find: Callable, ego=None):
        c=self.c; o=self.o
        if len(o.ids):
            veh=np.isin(o.classes,c.vehicles)
            o.states,o.covariances=motion.predicted(o.states,o.covariances,dt,acceleration=self._per('acceleration',o.classes),turn_acceleration=np.where(veh,self._per('turn_acceleration',o.classes),0))
            P=o.covariances; P[~veh,4,4]+=(.5*dt)**2
            if ego is not None: o.states,o.covariances=motion.moved(o.states,o.covariances,ego)
            o.exists=o.exists*np.exp(-dt/c.lifetime_s)
        t,d=self._pairs(boxes,classes,scores)
        o.silent_s=o.silent_s+dt
        missed=np.ones(len(o.ids),bool); missed[t]=False
        if len(t):
            noise=np.stack([self._per('place_noise',classes[d])**2]*2+[self._per('yaw_noise',classes[d])**2],1)
            o.states[t],o.covariances[t]=motion.updated(o.states[t],o.covariances[t],boxes[d][:,(0,1,6)],noise)
            g=np.maximum(1/(o.hits[t]+1),.15)[:,None]*np.array([2.5,1,1,1]); g=np.minimum(g,.8)
            o.shapes[t]+=g*(boxes[d,2:6]-o.shapes[t])
            odds=o.exists[t]/(1-o.exists[t]+1e-9)*c.evidence*scores[d]/(1-scores[d]+1e-6)
            o.exists[t]=np.minimum(odds/(1+odds),.999); o.hits[t]+=1; o.logit[t]+=(np.log((scores[d]+1e-6)/(1-scores[d]+1e-6))-o.logit[t])/np.minimum(o.hits[t],30); o.silent_s[t]=0
        if missed.any():
            pd=find(o.states[missed],o.classes[missed])
            r=o.exists[missed]; o.exists[missed]=r*(1-pd)/(1-r*pd)
        o.was|=o.exists>=c.confirmed
        spread=o.covariances[:,0,0]+o.covariances[:,1,1]
        keep=(o.exists>=c.dropped)&(spread<2*c.most_unsure_m**2)
        free=np.ones(len(boxes),bool); free[d]=False; free&=scores>=c.birth_score
        o=o.take(keep); new=self._born(boxes[free],classes[free],scores[free]); new.was|=new.exists>=c.confirmed
        self.o=o.plus(new); return self.o
    def _pairs(self, boxes, classes, scores):
        o=self.o
        if not len(boxes) or not len(o.ids): return np.zeros(0,int),np.zeros(0,int)
        import lap
        diff=boxes[None,:,:2]-o.states[:,None,:2]
        S=o.covariances[:,None,:2,:2]+ (self._per('place_noise',classes)**2)[None,:,None,None]*np.eye(2)
        a,b,e=S[...,0,0],S[...,0,1],S[...,1,1]; det=a*e-b*b
        dist=(e*diff[...,0]**2-2*b*diff[...,0]*diff[...,1]+a*diff[...,1]**2)/det
        cost=dist+np.log(det)+8
        size=np.abs(np.log(boxes[None,:,3:6]/o.shapes[:,None,1:4])).sum(-1)
        cost=cost+size*self.size_weight
        bad=(dist>self.c.gate)|(o.classes[:,None]!=classes[None])
        cost[bad]=1e5
        _,x,y=lap.lapjv(cost,extend_cost=True,cost_limit=self.c.gate+20)
        t=np.flatnonzero(x>=0); d=x[t]; ok=cost[t,d]<1e4
        return t[ok],d[ok]
    size_weight=2.
