"""Statecharts as text for people: diagrams, outlines, pages. Pure: a statechart goes in, text comes out."""
