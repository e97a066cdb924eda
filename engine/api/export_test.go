package api

// Limits, for tests.
const (
	ListingPrice = listingPrice
	MaxListings  = maxListings
	MaxTrials    = maxTrials
)
