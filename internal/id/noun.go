package id

import (
	"io"

	"github.com/google/uuid"
)

type (
	product   struct{}
	category  struct{}
	customer  struct{}
	order     struct{}
	orderItem struct{}
	user      struct{}
	member    struct{}
	session   struct{}
	event     struct{}
	access    struct{}
	invited   struct{}
	link      struct{}
	apiKey    struct{}
)

func (product) Prefix() string   { return "prod" }
func (category) Prefix() string  { return "cat" }
func (customer) Prefix() string  { return "cust" }
func (order) Prefix() string     { return "ord" }
func (orderItem) Prefix() string { return "item" }
func (user) Prefix() string      { return "user" }
func (member) Prefix() string    { return "mem" }
func (session) Prefix() string   { return "sess" }
func (event) Prefix() string     { return "evt" }
func (access) Prefix() string    { return "acc" }
func (invited) Prefix() string   { return "inv" }
func (link) Prefix() string      { return "link" }
func (apiKey) Prefix() string    { return "key" }

// Product is the id of a product, prod_….
type Product struct{ Of[product] }

// Category is the id of a category, cat_….
type Category struct{ Of[category] }

// Customer is the id of a customer, cust_….
type Customer struct{ Of[customer] }

// Order is the id of an order, ord_….
type Order struct{ Of[order] }

// OrderItem is the id of a line of an order, item_….
type OrderItem struct{ Of[orderItem] }

// User is the id of a person, user_…. A person is the same in every tenant.
type User struct{ Of[user] }

// Member is the id of a person's membership in one tenant, mem_….
type Member struct{ Of[member] }

// Session is the id of a sign-in, sess_….
type Session struct{ Of[session] }

// Event is the id of something that happened, evt_….
type Event struct{ Of[event] }

// AccessEvent is the id of something that happened to who may enter a tenant, acc_….
type AccessEvent struct{ Of[access] }

// Invitation is the id of an invitation to a tenant, inv_….
type Invitation struct{ Of[invited] }

// InvitationLink is the id of a link by which people join a tenant, link_….
type InvitationLink struct{ Of[link] }

// APIKey is the id of a key that a machine shows, key_…. It is no secret.
type APIKey struct{ Of[apiKey] }

// NewProduct makes an id. It and its like below never return the same id twice.
func NewProduct() Product { return Product{From[product](New())} }

// NewCategory makes an id.
func NewCategory() Category { return Category{From[category](New())} }

// NewCustomer makes an id.
func NewCustomer() Customer { return Customer{From[customer](New())} }

// NewOrder makes an id.
func NewOrder() Order { return Order{From[order](New())} }

// NewOrderItem makes an id.
func NewOrderItem() OrderItem { return OrderItem{From[orderItem](New())} }

// NewUser makes an id.
func NewUser() User { return User{From[user](New())} }

// NewMember makes an id.
func NewMember() Member { return Member{From[member](New())} }

// NewSession makes an id.
func NewSession() Session { return Session{From[session](New())} }

// NewEvent makes an id.
func NewEvent() Event { return Event{From[event](New())} }

// NewAccessEvent makes an id.
func NewAccessEvent() AccessEvent { return AccessEvent{From[access](New())} }

// NewInvitation makes an id.
func NewInvitation() Invitation { return Invitation{From[invited](New())} }

// NewInvitationLink makes an id.
func NewInvitationLink() InvitationLink { return InvitationLink{From[link](New())} }

// NewAPIKey makes an id.
func NewAPIKey() APIKey { return APIKey{From[apiKey](New())} }

// APIKeyFrom makes an id of the UUID that a key holds.
func APIKeyFrom(u uuid.UUID) APIKey { return APIKey{From[apiKey](u)} }

// MarshalGQL writes the public form.
func (v Product) MarshalGQL(w io.Writer) { v.write(w) }

// UnmarshalGQL reads the public form; errors as UnmarshalText.
func (v *Product) UnmarshalGQL(from any) error { return v.read(from) }

// MarshalGQL writes the public form.
func (v Category) MarshalGQL(w io.Writer) { v.write(w) }

// UnmarshalGQL reads the public form; errors as UnmarshalText.
func (v *Category) UnmarshalGQL(from any) error { return v.read(from) }

// MarshalGQL writes the public form.
func (v Customer) MarshalGQL(w io.Writer) { v.write(w) }

// UnmarshalGQL reads the public form; errors as UnmarshalText.
func (v *Customer) UnmarshalGQL(from any) error { return v.read(from) }

// MarshalGQL writes the public form.
func (v Order) MarshalGQL(w io.Writer) { v.write(w) }

// UnmarshalGQL reads the public form; errors as UnmarshalText.
func (v *Order) UnmarshalGQL(from any) error { return v.read(from) }

// MarshalGQL writes the public form.
func (v OrderItem) MarshalGQL(w io.Writer) { v.write(w) }

// UnmarshalGQL reads the public form; errors as UnmarshalText.
func (v *OrderItem) UnmarshalGQL(from any) error { return v.read(from) }

// MarshalGQL writes the public form.
func (v User) MarshalGQL(w io.Writer) { v.write(w) }

// UnmarshalGQL reads the public form; errors as UnmarshalText.
func (v *User) UnmarshalGQL(from any) error { return v.read(from) }

// MarshalGQL writes the public form.
func (v Member) MarshalGQL(w io.Writer) { v.write(w) }

// UnmarshalGQL reads the public form; errors as UnmarshalText.
func (v *Member) UnmarshalGQL(from any) error { return v.read(from) }

// MarshalGQL writes the public form.
func (v Session) MarshalGQL(w io.Writer) { v.write(w) }

// UnmarshalGQL reads the public form; errors as UnmarshalText.
func (v *Session) UnmarshalGQL(from any) error { return v.read(from) }

// MarshalGQL writes the public form.
func (v Event) MarshalGQL(w io.Writer) { v.write(w) }

// UnmarshalGQL reads the public form; errors as UnmarshalText.
func (v *Event) UnmarshalGQL(from any) error { return v.read(from) }

// MarshalGQL writes the public form.
func (v AccessEvent) MarshalGQL(w io.Writer) { v.write(w) }

// UnmarshalGQL reads the public form; errors as UnmarshalText.
func (v *AccessEvent) UnmarshalGQL(from any) error { return v.read(from) }

// MarshalGQL writes the public form.
func (v Invitation) MarshalGQL(w io.Writer) { v.write(w) }

// UnmarshalGQL reads the public form; errors as UnmarshalText.
func (v *Invitation) UnmarshalGQL(from any) error { return v.read(from) }

// MarshalGQL writes the public form.
func (v InvitationLink) MarshalGQL(w io.Writer) { v.write(w) }

// UnmarshalGQL reads the public form; errors as UnmarshalText.
func (v *InvitationLink) UnmarshalGQL(from any) error { return v.read(from) }

// MarshalGQL writes the public form.
func (v APIKey) MarshalGQL(w io.Writer) { v.write(w) }

// UnmarshalGQL reads the public form; errors as UnmarshalText.
func (v *APIKey) UnmarshalGQL(from any) error { return v.read(from) }
