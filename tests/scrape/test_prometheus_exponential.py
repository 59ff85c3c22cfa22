import math
from collections import Counter
from itertools import accumulate, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics.export import Buckets, ExponentialHistogramDataPoint
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from prometheus_support import Bench

from tachograph.scrape.exponential import classic

AMOUNTS = st.one_of(
    st.integers(0, 10**6),
    st.floats(0, allow_nan=False, allow_infinity=False),
    st.sampled_from([0, 1, 2, 1024, 2.2250738585072014e-308, 1.7976931348623157e308]),
)
VALUES = st.one_of(AMOUNTS, AMOUNTS.map(lambda amount: -amount))


def point(scale=0, zero=0, positive=(0, ()), negative=(0, ())):
    count = zero + sum(positive[1]) + sum(negative[1])
    return ExponentialHistogramDataPoint(
        {}, 0, 0, count, 1.0, scale, zero, Buckets(*positive), Buckets(*negative), 0, 0, 0
    )


def counted(values):
    """Buckets at scale 0 of values that are all above zero, each in the bucket with the next power of two."""
    places = Counter(exponent - (2 if mantissa == 0.5 else 1) for mantissa, exponent in map(math.frexp, values))
    lowest = min(places, default=0)
    return lowest, [places[place] for place in range(lowest, max(places, default=-1) + 1)]


def buckets(values, **aggregation):
    """The cumulative buckets that a scrape shows for measured values."""
    view = View(instrument_name="spread", aggregation=ExponentialBucketHistogramAggregation(**aggregation))
    bench = Bench(views=[view])
    histogram = bench.meter.create_histogram("spread")
    for value in values:
        histogram.record(value)
    return [(float(labels["le"]), count) for labels, count in bench.samples("spread_bucket")]


class TestBuckets:
    def test_bounds_are_powers_of_the_base(self):
        """At scale 0 the base is two; the lower edge of the first bucket is a bound too."""
        assert classic(point(positive=(0, (1, 2, 3)))) == ([1.0, 2.0, 4.0, 8.0], [0, 1, 2, 3, 0])

    def test_zeros_have_a_bound_of_their_own(self):
        """They are neither above nor below it."""
        assert classic(point(zero=5, positive=(0, (1,)))) == ([0.0, 1.0, 2.0], [5, 0, 1, 0])

    def test_negative_buckets_do_not_contain_their_upper_edge(self):
        """A measurement of -2 is in the bucket from -2 up, so the bound of the one below is just under it."""
        bounds, counts = classic(point(negative=(0, (1, 2))))
        assert bounds == [math.nextafter(-2.0, -math.inf), math.nextafter(-1.0, -math.inf), 0.0]
        assert counts == [2, 1, 0, 0]

    def test_nothing_measured_is_one_empty_bucket(self):
        """The bucket of infinity is always there."""
        assert classic(point()) == ([], [0])

    def test_a_bound_beyond_floats_is_infinity(self):
        """The coarsest scale has one bucket for everything above one."""
        assert classic(point(scale=-10, positive=(0, (3,)))) == ([1.0], [0, 3])

    def test_many_buckets_become_fewer_by_a_lower_scale(self):
        """Neighbours are put together until at most 160 are left, and nothing is lost."""
        bounds, counts = classic(point(scale=3, positive=(0, [1] * 1000), negative=(0, [2] * 1000)))
        assert len(bounds) <= 163
        assert sum(counts) == 3000

    @settings(deadline=None)
    @given(st.lists(VALUES, max_size=40))
    def test_counts_are_exact(self, values):
        """Each bucket has as many as are at or below its bound, negative or not, and the last one everything."""
        positive = counted([value for value in values if value > 0])
        negative = counted([-value for value in values if value < 0])
        bounds, counts = classic(point(0, values.count(0), positive, negative))
        for bound, count in zip([*bounds, math.inf], accumulate(counts), strict=True):
            assert count == sum(value <= bound for value in values), bound

    @settings(deadline=None)
    @given(st.lists(AMOUNTS, max_size=40), st.integers(2, 400), st.integers(-10, 20))
    def test_any_measurements_give_a_rising_histogram(self, values, size, scale):
        """Bounds rise, counts never fall, and infinity has the count, at every size and scale of the SDK."""
        shown = buckets(values, max_size=size, max_scale=scale)
        assert all(one[0] < other[0] and one[1] <= other[1] for one, other in pairwise(shown))
        assert not values or shown[-1] == (math.inf, len(values))
