// Package report writes what was measured: a table for people, JSON with every
// sample for programs, and what machine and versions it was measured with.
package report
