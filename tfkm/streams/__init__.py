"""Streams: k-means of points that are read again in each pass, such as datasets and large files."""

from tfkm.streams.blocks import Part as Part
from tfkm.streams.kmeans import fit as fit
from tfkm.streams.sources import Source as Source
from tfkm.streams.sources import check_options as check_options
from tfkm.streams.sources import is_stream as is_stream
from tfkm.streams.sources import source_of as source_of
from tfkm.streams.stream import Opener as Opener
from tfkm.streams.stream import Stream as Stream
from tfkm.streams.stream import labels_of as labels_of

__all__ = ["Part", "Source"]  # for a source of your own; the rest is for tfkm itself
