// Package cluster shows programs that are more than one process, on one machine or many:
// tasks on two workers, a lock and a queue between two programs, and a crawler.
package cluster
