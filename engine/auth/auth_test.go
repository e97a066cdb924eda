package auth_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mootchat/moot/engine/auth"
)

func TestKeysAcceptTheirAlgorithmsOnly(t *testing.T) {
	all := []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512, jose.RS256, jose.RS384, jose.RS512,
		jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}
	signed := map[jose.SignatureAlgorithm]string{}
	for _, a := range all {
		name := map[jose.SignatureAlgorithm]string{jose.ES256: "p256", jose.ES384: "p384", jose.ES512: "p521", jose.EdDSA: "ed"}[a]
		switch {
		case name != "":
			signed[a] = sign(t, a, pairs()[name], nil, claims{"sub": "ann"})
		case a[0] == 'H':
			signed[a] = sign(t, a, secret, nil, claims{"sub": "ann"})
		default:
			signed[a] = sign(t, a, pairs()["rsa"], nil, claims{"sub": "ann"})
		}
	}
	for kind, config := range map[string]auth.Config{
		"HS": {Secret: secret}, "RS PS": {PublicKey: publicPEM("rsa")}, "ES256": {PublicKey: publicPEM("p256")},
		"ES384": {PublicKey: publicPEM("p384")}, "ES512": {PublicKey: publicPEM("p521")}, "EdDSA": {PublicKey: publicPEM("ed")},
	} {
		t.Run(kind, func(t *testing.T) {
			tokens := newTokens(t, config)
			for _, a := range all {
				if slices.ContainsFunc(strings.Fields(kind), func(prefix string) bool { return strings.HasPrefix(string(a), prefix) }) {
					if id := takes(t, tokens, signed[a]); id.User != "ann" || !id.Expires.IsZero() {
						t.Errorf("%s: %+v", a, id)
					}
				} else {
					refuses(t, tokens, signed[a], "token is signed with an algorithm that is not accepted")
				}
			}
		})
	}
}

func TestIdentityOfAToken(t *testing.T) {
	tokens := newTokens(t, auth.Config{Secret: secret, Properties: []string{"role", "level", "teams", "none", "empty"}})
	id := takes(t, tokens, sign(t, jose.HS256, secret, nil, `{"sub":"ann","exp":`+fmt.Sprint(later(time.Hour))+
		`,"role":"admin","level": 12345678901234567890 ,"teams":["a",{"b" :
		1}],"none":null,"other":1}`))
	var got []string
	for _, c := range id.Claims {
		got = append(got, c.Name+"="+string(c.Value))
	}
	if want := `role="admin" level=12345678901234567890 teams=["a",{"b":1}]`; strings.Join(got, " ") != want {
		t.Errorf("claims %s, want %s", got, want)
	}
	if id.User != "ann" || id.Expires.Unix() != later(time.Hour) {
		t.Errorf("%+v", id)
	}
}

func TestClaimsAreChecked(t *testing.T) {
	const here, hub = "chat", "https://id.example"
	tokens := newTokens(t, auth.Config{Secret: secret, Audience: []string{here, "also"}, Issuer: hub, Properties: []string{"p"}})
	good := func(change claims) any {
		c := claims{"sub": "ann", "aud": here, "iss": hub, "exp": later(time.Minute)}
		for name, value := range change {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		}
		return c
	}
	for name, test := range map[string]struct {
		claims any
		want   string // "": accepted
	}{
		"good":                     {good(nil), ""},
		"one of several audiences": {good(claims{"aud": []string{"x", "also"}}), ""},
		"no end":                   {good(claims{"exp": nil}), ""},
		"nobody":                   {good(claims{"sub": nil}), ""},
		"just over":                {good(claims{"exp": later(-2 * time.Second)}), ""},
		"over":                     {good(claims{"exp": later(-10 * time.Second)}), "token expired"},
		"over since ever":          {good(claims{"exp": 0}), "token expired"},
		"before its time":          {good(claims{"nbf": later(time.Minute)}), "token is not valid yet"},
		"made in the future":       {good(claims{"iat": later(time.Minute)}), "token is not valid yet"},
		"a little early":           {good(claims{"nbf": later(2 * time.Second)}), ""},
		"another audience":         {good(claims{"aud": "chats"}), "token is for another audience"},
		"no audience":              {good(claims{"aud": nil}), "token is for another audience"},
		"another issuer":           {good(claims{"iss": hub + "/"}), "token is from another issuer"},
		"no issuer":                {good(claims{"iss": nil}), "token is from another issuer"},
		"an end that is text":      {good(claims{"exp": "tomorrow"}), "token is malformed"},
		"an end beyond time":       {good(claims{"exp": 1e300}), "token is malformed"},
		"a user that is a number":  {good(claims{"sub": 5}), "token is malformed"},
		"an audience of numbers":   {good(claims{"aud": []int{5}}), "token is malformed"},
		"a long user":              {good(claims{"sub": strings.Repeat("x", 257)}), "token has an invalid user name"},
		"a user of two lines":      {good(claims{"sub": "a\nb"}), "token has an invalid user name"},
		"no object":                {`["a"]`, "token is malformed"},
		"no JSON":                  {`{"sub":`, "token is malformed"},
		"two users":                {`{"sub":"ann","sub":"bob","aud":"chat","iss":"` + hub + `"}`, "token is malformed"},
		"invalid UTF-8":            {`{"p":"` + "\xff" + `","aud":"chat","iss":"` + hub + `"}`, "token is malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			if token := sign(t, jose.HS256, secret, nil, test.claims); test.want == "" {
				takes(t, tokens, token)
			} else {
				refuses(t, tokens, token, test.want)
			}
		})
	}
}

// TestForgedTokens checks that tokens that an attacker may forge are refused.
func TestForgedTokens(t *testing.T) {
	const ann = `{"sub":"ann"}`
	rsa := newTokens(t, auth.Config{PublicKey: publicPEM("rsa")})
	hmac := newTokens(t, auth.Config{Secret: secret})
	good := sign(t, jose.HS256, secret, nil, claims{"sub": "ann"})
	parts := strings.Split(good, ".")
	embedded := jose.JSONWebKey{Key: pairs()["other"].Public(), KeyID: "mine"}
	const malformed, algorithm, signature = "token is malformed", "token is signed with an algorithm that is not accepted", "token has an invalid signature"
	for name, test := range map[string]struct {
		tokens *auth.Tokens
		token  string
		want   string
	}{
		"nothing":                            {hmac, "", malformed},
		"words":                              {hmac, "let me in", malformed},
		"dots":                               {hmac, "..", algorithm},
		"two parts":                          {hmac, parts[0] + "." + parts[1], malformed},
		"four parts":                         {hmac, good + ".x", malformed},
		"spaces":                             {hmac, " " + good, malformed},
		"JSON serialization":                 {hmac, `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, malformed},
		"alg none":                           {hmac, forge(`{"alg":"none"}`, ann, ""), algorithm},
		"alg None":                           {hmac, forge(`{"alg":"None"}`, ann, "x"), algorithm},
		"no alg":                             {hmac, forge(`{}`, ann, "x"), algorithm},
		"alg is a number":                    {hmac, forge(`{"alg":1}`, ann, "x"), algorithm},
		"two algs":                           {hmac, forge(`{"alg":"none","alg":"HS256"}`, ann, ""), malformed},
		"alg in lower case":                  {hmac, forge(`{"alg":"hs256"}`, ann, "x"), algorithm},
		"no signature":                       {hmac, parts[0] + "." + parts[1] + ".", signature},
		"half a signature":                   {hmac, good[:len(good)-8], signature},
		"other claims":                       {hmac, parts[0] + "." + strings.Split(forge("", `{"sub":"root"}`, ""), ".")[1] + "." + parts[2], signature},
		"another secret":                     {hmac, sign(t, jose.HS256, []byte(strings.Repeat("x", 64)), nil, ann), signature},
		"another key":                        {rsa, sign(t, jose.RS256, pairs()["other"], nil, ann), signature},
		"the public key as a secret, in PEM": {rsa, sign(t, jose.HS256, publicPEM("rsa"), nil, ann), algorithm},
		"a key in the header":                {rsa, sign(t, jose.RS256, pairs()["other"], header{"jwk": embedded}, ann), signature},
		"an address of keys in the header":   {rsa, sign(t, jose.RS256, pairs()["other"], header{"jku": "https://evil.example/keys"}, ann), signature},
		"a certificate in the header":        {rsa, sign(t, jose.RS256, pairs()["other"], header{"x5u": "https://evil.example/cert"}, ann), signature},
		"a file as key id":                   {rsa, sign(t, jose.RS256, pairs()["other"], header{"kid": "../../../dev/null"}, ann), signature},
		"a query as key id":                  {hmac, sign(t, jose.HS256, []byte(strings.Repeat("x", 64)), header{"kid": "x' UNION SELECT 'x"}, ann), signature},
		"what must be understood":            {hmac, forge(`{"alg":"HS256","crit":["exp"],"exp":1}`, ann, "x"), signature},
		"a long one":                         {hmac, sign(t, jose.HS256, secret, nil, claims{"x": strings.Repeat("x", 8<<10)}), "token is too long (at most 8192 bytes)"},
		"a deep header":                      {hmac, forge(`{"alg":"HS256","x":`+strings.Repeat("[", 2900)+strings.Repeat("]", 2900)+`}`, ann, "x"), signature},
		"an encrypted one":                   {hmac, "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..AAAAAAAAAAAAAAAA.AA.AAAAAAAAAAAAAAAAAAAAAA", malformed},
	} {
		t.Run(name, func(t *testing.T) { refuses(t, test.tokens, test.token, test.want) })
	}
	takes(t, hmac, good)
	takes(t, hmac, sign(t, jose.HS256, secret, header{"kid": "any", "jku": "https://evil.example"}, claims{}))
}

// TestTokensOfOtherKeys checks that a token signed with one tenant's keys is refused by
// another tenant.
func TestTokensOfOtherKeys(t *testing.T) {
	kinds := map[string]auth.Config{
		"a": {Secret: secret}, "b": {Secret: []byte(strings.Repeat("b", 64))}, "c": {PublicKey: publicPEM("rsa")},
		"d": {PublicKey: publicPEM("other")}, "e": {PublicKey: publicPEM("p256")}, "f": {PublicKey: publicPEM("second")},
	}
	made := map[string]string{
		"a": sign(t, jose.HS256, secret, nil, claims{}), "b": sign(t, jose.HS256, []byte(strings.Repeat("b", 64)), nil, claims{}),
		"c": sign(t, jose.RS256, pairs()["rsa"], nil, claims{}), "d": sign(t, jose.RS256, pairs()["other"], nil, claims{}),
		"e": sign(t, jose.ES256, pairs()["p256"], nil, claims{}), "f": sign(t, jose.ES256, pairs()["second"], nil, claims{}),
	}
	for tenant, config := range kinds {
		tokens := newTokens(t, config)
		for whose, token := range made {
			if _, err := tokens.Check(t.Context(), token); (err == nil) != (whose == tenant) {
				t.Errorf("a token of %s at %s: %v", whose, tenant, err)
			}
		}
	}
}

// TestSeveralPublicKeys checks that tokens of the old and of the new key are accepted
// during a rotation of keys.
func TestSeveralPublicKeys(t *testing.T) {
	tokens := newTokens(t, auth.Config{PublicKey: publicPEM("rsa", "p256", "second")})
	for name, algorithm := range map[string]jose.SignatureAlgorithm{"rsa": jose.RS256, "p256": jose.ES256, "second": jose.ES256} {
		takes(t, tokens, sign(t, algorithm, pairs()[name], header{"kid": "whatever"}, claims{}))
	}
	refuses(t, tokens, sign(t, jose.RS256, pairs()["other"], nil, claims{}), "token has an invalid signature")
}

func TestKeysInPEM(t *testing.T) {
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(rsaOf("rsa"))})
	takes(t, newTokens(t, auth.Config{PublicKey: pkcs1}), sign(t, jose.RS256, pairs()["rsa"], nil, claims{}))
	takes(t, newTokens(t, auth.Config{PublicKey: certificate(t, "p256")}), sign(t, jose.ES256, pairs()["p256"], nil, claims{}))
}

func TestInvalidKeysAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		config auth.Config
		want   string
	}{
		"none":           {auth.Config{}, "set exactly one of secret, publicKey and jwks"},
		"two":            {auth.Config{Secret: secret, PublicKey: publicPEM("rsa")}, "set exactly one of secret, publicKey and jwks"},
		"a short secret": {auth.Config{Secret: []byte("hunter2")}, "the secret has 7 bytes: use at least 32, for example from `openssl rand -base64 33`"},
		"no PEM":         {auth.Config{PublicKey: []byte("ssh-ed25519 AAAA")}, "the public key is not in PEM: it must begin with -----BEGIN PUBLIC KEY-----"},
		"a private key":  {auth.Config{PublicKey: privatePEM("rsa")}, `public key 1: is of the type "PRIVATE KEY": use a PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE`},
		"a small key":    {auth.Config{PublicKey: publicPEM("rsa", "small")}, "public key 2: the RSA key has 1024 bits: use 2048 to 8192"},
		"another curve":  {auth.Config{PublicKey: publicPEM("p224")}, "public key 1: the key has an unsupported curve: use P-256, P-384 or P-521"},
		"too many":       {auth.Config{PublicKey: []byte(strings.Repeat(string(publicPEM("ed")), 9))}, "more than 8 public keys: remove old ones"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := auth.New(test.config); err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestSignedTokensAreAccepted(t *testing.T) {
	draft := auth.Draft{User: "ann", Issuer: "me", Audience: []string{"chat"}, KeyID: "k", Expires: time.Now().Add(time.Hour), Claims: map[string]any{"role": "admin"}}
	for name, config := range map[string]auth.Config{
		"secret": {Secret: secret}, "rsa": {PublicKey: publicPEM("rsa")}, "p256": {PublicKey: publicPEM("p256")}, "ed": {PublicKey: publicPEM("ed")},
	} {
		config.Audience, config.Issuer, config.Properties = draft.Audience, draft.Issuer, []string{"role"}
		signer, err := auth.SecretSigner(secret)
		if name != "secret" {
			signer, err = auth.KeySigner(privatePEM(name))
		}
		if err != nil {
			t.Fatal(err)
		}
		token, err := signer.Sign(draft)
		if err != nil {
			t.Fatal(err)
		}
		id := takes(t, newTokens(t, config), token)
		if id.User != "ann" || len(id.Claims) != 1 || string(id.Claims[0].Value) != `"admin"` || id.Expires.Unix() != draft.Expires.Unix() {
			t.Errorf("%s: %+v", name, id)
		}
	}
	for text, want := range map[string]string{
		"x":                         "the private key is not in PEM: it must begin with -----BEGIN PRIVATE KEY-----",
		string(publicPEM("rsa")):    `cannot read the private key: it is of the type "PUBLIC KEY": use a PRIVATE KEY`,
		string(privatePEM("small")): "the RSA key has 1024 bits: use 2048 to 8192",
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY"})): "cannot read the private key: x509: failed to parse EC private key",
	} {
		if _, err := auth.KeySigner([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func FuzzTokens(f *testing.F) {
	f.Add(forge(`{"alg":"HS256","kid":"x"}`, `{"sub":"a"}`, "x"))
	f.Add(forge(`{"alg":"ES256","crit":["b64"],"b64":false}`, `{}`, strings.Repeat("x", 64)))
	f.Add("a.b.c")
	tokens, err := auth.New(auth.Config{PublicKey: publicPEM("p256", "rsa", "ed"), Properties: []string{"p"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if id, err := tokens.Check(t.Context(), token); err == nil {
			t.Errorf("%q is taken for %+v", token, id)
		}
	})
}
