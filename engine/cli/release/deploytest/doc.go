// Package deploytest holds the files of examples/deploy to the readers that will read
// them: Prometheus's of rules and expressions, Kubernetes' types, and Docker's matcher of
// .dockerignore. It is a module of its own, so that nobody else needs theirs.
package deploytest
