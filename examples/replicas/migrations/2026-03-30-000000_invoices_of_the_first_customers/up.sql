INSERT IGNORE INTO customers (id, name) VALUES (1, 'Ada'), (2, 'Grace');
INSERT IGNORE INTO invoices (id, customer_id, cents) VALUES (1, 1, 1200), (2, 2, 3400);
