// One thread's part of a pass: groups of rows, from reading them to their sums.
//
// What becomes of a row. A pass that wants distances measures every row. A pass that keeps bounds
// (bounds.h) looks only at those that are open: whose label the bounds do not tell.
//
//     distances wanted              bounds kept
//            |                           |
//         measure                    pass_over ---- the bounds tell its label ----> not read: it
//            |                           |                                          keeps its label
//            |                         open                                             ^
//            |            +--------------+----------------+                             |
//            |     the sieve pays    few rows      most rows of                         |
//            |            |         are open    the group are open                    |
//            |            |              |                |                             |
//            |      copied to open_      |                |                             |
//            |            |              |                |                             |
//            |     full, or the end:     |                |                             |
//            |          sift ------------|----------------|-- no moved centroid --------+
//            |            |              |                |   came as near as its own
//            |        still open         |                |
//            |            |              |                |
//            |            +-> copied to undecided_        |
//            |                           |                |
//            |                  full, or the end:         |
//            |                   decide_gathered          |
//            |                           |                |
//            |                           +---- decide ----+
//            |                                   |
//            +----------------+------------------+
//                             |
//                          screen_
//                       +-----+------+
//                     sure       not sure
//                       |            |
//                       |     decided by the direct form
//                       +-----+------+
//                           label
//                             |
//                           take: if the label is not that of the pass before, out of the sums of
//                                 the old cluster and into those of the new one
#pragma once

#include "bounds.h"
#include "exact.h"
#include "rows.h"
#include "screen.h"

namespace {

template <class T>
class Worker {
 public:
  // moved_frame: of the centroids that have moved, for the sieve; or null for no sieve.
  Worker(const Job& job, const Frame<T>& frame, const Bounds<T>& bounds,
         const Frame<T>* moved_frame, const ParallelFor& parallel_for, int number, Arena& arena)
      : job_(job),
        frame_(frame),
        bounds_(bounds),
        parallel_for_(parallel_for),
        number_(number),
        source_(job.points, job.d),
        screen_(frame, job.n, arena),
        sums_(job, arena),
        sieve_(moved_frame ? *moved_frame : frame, moved_frame ? job.n : 1, arena),
        sifts_(moved_frame),
        open_(sifts_ ? sieve_.rows() : 0, job.d, arena),
        undecided_(bounds.kept() ? screen_.rows() : 0, job.d, arena) {
    arena.take(&widened_, source_.scratch(screen_.rows()));
    arena.take(&distances_, screen_.rows() + 8);
    arena.take(&found_, undecided_.most), arena.take(&margins_, undecided_.most);
    arena.take(&listed_, undecided_.most + 1), arena.take(&own_, round_up(open_.most, kPairBlock));
  }

  int64_t group_rows() const { return screen_.rows(); }
  const Sums& sums() const { return sums_; }
  int64_t changed() const { return changed_; }

  void rows(int64_t begin, int64_t end) {
    if (job_.sums() && !sums_.started()) sums_.start();
    for (int64_t row = begin; row < end && !ended_; row += screen_.rows()) {
      int64_t count = end - row < screen_.rows() ? end - row : screen_.rows();
      if (bounds_.kept())
        pass_over(row, count);
      else
        measure(source_.rows(row, count, widened_), row, count);
    }
    if (ended_) return;
    if (open_.count) sift();
    if (undecided_.count) decide_gathered();
  }

 private:
  // Above the first share of rows that bounds leave open, rows are decided where they lie. Above
  // the second share of rows that the sieve leaves open, no more are put into it.
  static constexpr double kMostGathered = 0.75, kMostSifted = 0.3;

  // Copies of rows from here and there.
  struct Gathered {
    int64_t most, d, count = 0;
    T* points;  // (most, d)
    int64_t* rows;

    Gathered(int64_t most, int64_t d, Arena& arena) : most(most), d(d) {
      arena.take(&points, most * d);
      arena.take(&rows, most);
    }
    T* next(int64_t row) {
      rows[count] = row;
      return points + count++ * d;
    }
    Rows<T> all() const { return {points, d}; }
  };

  // --- labels, distances and sums ---

  void measure(Rows<T> points, int64_t row, int64_t count) {
    screen_.run(points, count);
    if (!job_.measures())
      label(points, row, count);
    else if (!job_.sums())
      each<false, false>(points, row, count);
    else if (job_.weights)
      each<true, true>(points, row, count);
    else
      each<true, false>(points, row, count);
  }

  void label(Rows<T> points, int64_t row, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      int64_t place = screen_.place(i);
      bool sure = screen_.sure(i);
      if (__builtin_expect(!sure, 0) && ending()) return;
      bool bad = !sure && !(screen_.decide(points.row(i), i, &place) < INFINITY);
      job_.labels[row + i] = bad ? -1 : int32_t(frame_.centroid_at(place));
    }
  }

  template <bool with_sums, bool weighted>
  void each(Rows<T> points, int64_t row, int64_t count) {
    T* distances = static_cast<T*>(job_.sq_distances) + row;
    for (int64_t i = 0; i < count; ++i) {
      const T* x = points.row(i);
      int64_t place = screen_.place(i);
      bool sure = screen_.sure(i);
      if (__builtin_expect(!sure, 0) && ending()) return;
      double distance = __builtin_expect(sure, 1) ? sq_distance(x, frame_.row(place), job_.d)
                                                  : screen_.decide(x, i, &place);
      distances[i] = T(distance);
      if (with_sums) {
        distances_[i] = distance;
        take<weighted>(x, row + i, frame_.centroid_at(place));
      } else {
        job_.labels[row + i] = int32_t(frame_.centroid_at(place));
      }
    }
    if (with_sums) sums_.add_inertia(distances_, weighted ? job_.weights + row : nullptr, count);
  }

  // Puts the point of this row into its cluster, and takes it out of the one where it was.
  template <bool weighted>
  void take(const T* x, int64_t row, int64_t label) {
    int64_t before = job_.labels[row];
    double weight = weighted ? job_.weights[row] : 1.0;
    job_.labels[row] = int32_t(label);
    if (job_.goes_on()) {
      if (before == label) return;
      ++changed_;
      sums_.template add<true>(x, before, -weight);  // each word of −term is that of term, negated
    }
    sums_.template add<weighted>(x, label, weight);
  }

  // --- labels, bounds and sums ---

  // Finds the rows that their bounds leave open. Decides them where they lie, or gathers them until
  // they are a group.
  void pass_over(int64_t row, int64_t count) {
    int64_t open = bounds_.moves() ? bounds_.list(row, count, listed_) : count;
    bool sifts = sifts_ && double(left_open_) <= kMostSifted * double(sifted_);
    if (!sifts && double(open) > kMostGathered * double(count))
      return decide(source_.rows(row, count, widened_), nullptr, row, count);
    for (int64_t o = 0; o < open; ++o) {
      int64_t at = row + listed_[o];
      if (!sifts) {
        source_.copy(at, undecided_.next(at));
        if (undecided_.count == undecided_.most) decide_gathered();
        continue;
      }
      own_[open_.count] = bounds_.place_among_moved(job_.labels[at]);
      source_.copy(at, open_.next(at));
      if (open_.count == open_.most) sift();
    }
  }

  // Asks of each gathered row whether a centroid that has moved may have come as near as its own:
  // then it stays open.
  void sift() {
    sieve_.bound_others(open_.all(), open_.count, own_);
    sifted_ += open_.count;
    for (int64_t i = 0; i < open_.count; ++i) {
      const T* x = open_.all().row(i);
      int64_t row = open_.rows[i];
      double own = sq_distance(x, frame_.row(frame_.place_of(job_.labels[row])), job_.d);
      if (bounds_.stays(row, own, sieve_.others()[i])) continue;
      ++left_open_;
      std::memcpy(undecided_.next(row), x, job_.d * sizeof(T));
      if (undecided_.count == undecided_.most) decide_gathered();
    }
    open_.count = 0;
  }

  // Whether the call is to end. Asked before each row that the direct form decides: of a group
  // whose rows all tie among thousands of centroids that takes seconds.
  bool ending() {
    if (parallel_for_.ending) ended_ = ended_ || parallel_for_.ending(parallel_for_.pool, number_);
    return ended_;
  }

  void decide_gathered() {
    decide(undecided_.all(), undecided_.rows, 0, undecided_.count);
    undecided_.count = 0;
  }

  // Decides these rows, or if null `count` of them from the first on.
  void decide(Rows<T> points, const int64_t* rows, int64_t first, int64_t count) {
    screen_.run(points, count);
    screen_.bound(count);
    for (int64_t i = 0; i < count; ++i) {
      int64_t place = screen_.place(i);
      if (__builtin_expect(!screen_.sure(i), 0)) {
        if (ending()) return;
        screen_.decide(points.row(i), i, &place);
      }
      found_[i] = int32_t(frame_.centroid_at(place));
    }
    for (int64_t i = 0; i < count; ++i) {
      T margin = bounds_.margin(screen_.most()[i], screen_.others()[i], found_[i]);
      margins_[i] = screen_.sure(i) ? margin : -T(INFINITY);
    }
    for (int64_t i = 0; i < count; ++i) {
      int64_t row = rows ? rows[i] : first + i;
      bounds_.set(row, margins_[i]);
      if (job_.weights)
        take<true>(points.row(i), row, found_[i]);
      else
        take<false>(points.row(i), row, found_[i]);
    }
  }

  const Job& job_;
  const Frame<T>& frame_;
  const Bounds<T>& bounds_;
  const ParallelFor& parallel_for_;
  int number_;  // of this worker
  bool ended_ = false;
  Source<T> source_;
  Screen<T> screen_;
  Sums sums_;
  T* widened_;         // (rows, d), of a group that does not lie in this type
  double* distances_;  // (rows,)
  int64_t changed_ = 0;

  Screen<T> sieve_;
  bool sifts_;
  int64_t sifted_ = 0, left_open_ = 0;
  Gathered open_, undecided_;  // for the sieve, and for the screen
  int32_t *listed_, *own_;  // (rows + 1,) what bounds leave open in a group; places among the moved
                            // of what is in open_
  int32_t* found_;          // (rows,) labels of a group that is decided, and margins
  T* margins_;
};

}  // namespace
