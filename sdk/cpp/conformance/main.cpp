// The header is one for C and C++: so is its conformance guest.
#include "../../c/conformance/main.c"
