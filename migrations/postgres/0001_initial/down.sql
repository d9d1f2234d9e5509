DROP TABLE events;
DROP TABLE secrets;
DROP TABLE evidence;
DROP TABLE leases;
DROP TABLE host_claims;
DROP TABLE changes;
DROP TABLE resources;
DROP TABLE revision;
