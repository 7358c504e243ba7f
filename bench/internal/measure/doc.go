// Package measure runs two ways of doing the same work in turns and says how
// they compare.
//
// A [Row] names ours, the peer, what stands beside them as the floor, and the
// bound that is asked for. [Runner.Run] measures it: in pairs whose order
// alternates, so that what the machine does meanwhile falls on both alike. From
// the ratio of each pair come the median and its 90 % interval. The bound is
// judged by [Bound.Judge].
//
// # Trials
//
// A [Trial] does its work any number of times in one go and checks what came of
// it; one that cannot be checked does not belong here. Each measurement opens a
// trial of its own, lets it do a twentieth of the work unmeasured, and closes
// it, so that nothing of one side runs while the other is measured.
package measure
