// Package deploytest tests the files of examples/deploy with the code of the programs that
// use them: the parsers of Prometheus, the types of Kubernetes, and Docker's matcher of
// .dockerignore. It is a separate Go module to keep these dependencies out of Moot's.
package deploytest
