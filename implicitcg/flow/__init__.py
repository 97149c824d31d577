"""Flows of nonsmooth fields (`icg.flow`): kinks crossed are located and stepped onto, jumps are events."""

from .certificate import FlowCertificate as FlowCertificate
from .certificate import certify as certify
from .event import Event as Event
from .layer import NeuralODE as NeuralODE
from .solution import Flow as Flow
from .solve import solve as solve
