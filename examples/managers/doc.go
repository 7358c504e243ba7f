// Package managers shows how programs share objects through a manager's server:
// each test file is one scenario, named by what it shows.
//
//   - managed (P06): a dict and a list changed by ten programs
//   - python_and_go: a Python script and a Go program share a dict, a queue and a lock
//   - pool_of_processes: a Python program has a task run by Go's worker processes
//   - python_function: a Go program calls functions of a Python module
//   - own_type: an object of one's own, with the methods that clients may call
package managers
