"""What clients of OpenStack try on any service, point by point; `contract` walks them."""
